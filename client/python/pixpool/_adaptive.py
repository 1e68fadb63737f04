"""How many images to have with a server at once; as the C++ client has it."""

from __future__ import annotations


class AdaptiveLimit:
    """Finds the number by itself, below a bound.

    Each loss of room (an image that was shed) takes three tenths off, each window full of answers
    adds one. So a caller that waits for its answers follows the server's rate, in place of being
    shed again and again.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = float(most)
        self._sent = 0
        self._told = 0  # numbers below this one were sent before the last cut

    @property
    def size(self) -> int:
        return int(self._size)

    def sent(self) -> int:
        """An image is sent; gives what `shed` is to be told about it."""
        self._sent += 1
        return self._sent - 1

    def answered(self) -> None:
        """An image was answered, with features or not."""
        self._size = min(float(self._most), self._size + 1 / self._size)

    def shed(self, number: int) -> None:
        """The image of this number was shed. Those that were on their way when the last one was
        shed tell nothing new.
        """
        if number >= self._told:
            self._told = self._sent
            self._size = max(1.0, self._size * 0.7)

    def ended(self, number: int, shed: bool) -> None:
        """One or the other."""
        if shed:
            self.shed(number)
        else:
            self.answered()
