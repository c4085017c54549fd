"""The cost model: pure arithmetic over a resolved experiment."""
