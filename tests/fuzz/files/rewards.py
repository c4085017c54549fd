def near(sample: object) -> float:
    del sample
    return 0.0
