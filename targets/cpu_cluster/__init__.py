"""The CUDA target: NVIDIA GPUs, with engines that a cluster runs."""
