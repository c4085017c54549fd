"""Groups that are kept from one step to the next: drawn, broken off, resumed, selected, replayed, saved."""
