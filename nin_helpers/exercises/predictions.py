"""The small questions of notebooks 1 to 3: predict first, then run the cell."""

from numbers import Real


def check_prediction(prediction, answer):
    """Print whether a reader's prediction is the answer, and return that; None, no prediction, is not told.

    Numbers are right within 1 %, so that a rounded one is; anything else must be equal.
    """
    if prediction is None:
        print("not attempted yet: put your prediction in place of None, and run the cell again")
        return False
    both = isinstance(prediction, Real) and isinstance(answer, Real)
    right = bool(abs(prediction - answer) <= 0.01 * abs(answer) if both else prediction == answer)
    told = f"{answer:,}" if isinstance(answer, int) else answer
    print(f"right: {told}" if right else f"not {prediction!r}: it is {told}")
    return right
