"""The training half of every task, by name; ``dragoman.tasks`` holds the half that ships."""

TASKS: dict[str, str] = {"translation": "train.tasks.translation:TranslationTask"}
