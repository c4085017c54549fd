"""All that an experiment can name: models, recipes, algorithms, rewards, and the records that pass between them."""
