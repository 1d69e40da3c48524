"""Why a clip is heard as it is: causes that moved the verdict, and where in the piece."""

from emomusic.verify.explanation.explain import Effect, Explanation, explain
from emomusic.verify.explanation.where import Course, Window, course_of

__all__ = ["Course", "Effect", "Explanation", "Window", "course_of", "explain"]
