"""What a .star file of rlc can say beyond Starlark itself: experiments, fragments, models, sweeps, requirements."""
