"""The words: nouns, food, people, activities, and all that never changes its form."""
