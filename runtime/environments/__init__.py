"""Episodes: what the policy says turn by turn, what an environment answers, and what of both is trained on."""
