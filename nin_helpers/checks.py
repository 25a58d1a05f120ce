"""What an argument must be: each check raises ValueError with the argument's name, its value and what would do."""

import math
import operator
from numbers import Integral, Real


def check_whole_number(name, value, smallest, largest=math.inf):
    """Return `value` as an int if it is a whole number, NumPy's too (True and False are none), in the range."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not smallest <= value <= largest:
        most = "" if largest == math.inf else f" and at most {largest}"
        raise ValueError(f"{name}={value!r} must be a whole number of at least {smallest}{most}")
    return operator.index(value)


def check_number(name, value):
    """Return `value` as a float if it is a finite number, NumPy's too; True and False are none."""
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{name}={value!r} must be a finite number")
    return float(value)


def check_per_channel(name, value):
    """Return `value` as a float if it is a finite number, or as a tuple of them: one for each channel of a picture."""
    if not isinstance(value, (tuple, list)):
        return check_number(name, value)
    if not value:
        raise ValueError(f"{name}={value!r} must be a finite number, or a tuple with one for each channel")
    return tuple(check_number(f"{name}[{channel}]", each) for channel, each in enumerate(value))


def check_share(name, value):
    """Return `value` as a float if it is a number of at least 0 and less than 1."""
    if not 0 <= check_number(name, value) < 1:
        raise ValueError(f"{name}={value!r} must be at least 0 and less than 1")
    return float(value)


def check_choice(name, value, choices):
    """Refuse a value that is not one of `choices`; 1 is not True here."""
    if not any(value == choice and isinstance(value, type(choice)) for choice in choices):
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(repr, choices))}")


def check_whole_numbers(name, values, count=None):
    """Refuse what is not a tuple or list of whole numbers of at least 1, `count` of them if that is given."""
    if not isinstance(values, (tuple, list)) or count not in (None, len(values)):
        raise ValueError(f"{name}={values!r} must be a tuple of {'' if count is None else f'{count} '}whole numbers")
    for number, value in enumerate(values):
        check_whole_number(f"{name}[{number}]", value, 1)
