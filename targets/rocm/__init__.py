"""The ROCm target: AMD GPUs, with engines that a cluster runs."""
