"""Each rule once: what is refused, in which words, and that NumPy's numbers are numbers."""

import math
import re

import numpy as np
import pytest

from nin_helpers.checks import check_choice, check_number, check_share, check_whole_number, check_whole_numbers


@pytest.mark.parametrize("good", [1, 7, np.int64(7), np.uint8(1)])
def test_a_whole_number_comes_back_as_an_int(good):
    found = check_whole_number("n", good, 1, 7)
    assert type(found) is int and found == good


@pytest.mark.parametrize("bad", [0, -1, 8, 2.0, np.float64(2), "3", None, True, np.bool_(True), [2]])
def test_what_is_no_whole_number_in_the_range_is_named(bad):
    message = re.escape(f"n={bad!r} must be a whole number of at least 1 and at most 7")
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_whole_number("n", bad, 1, 7)


@pytest.mark.parametrize("good", [0, 0.5, np.float32(0.25), np.int8(0)])
def test_a_number_and_a_share_come_back_as_a_float(good):
    for check in (check_number, check_share):
        assert type(check("x", good)) is float and check("x", good) == good


@pytest.mark.parametrize("bad", [math.inf, math.nan, "0.5", None, True, np.float64("nan")])
def test_what_is_no_finite_number_is_named(bad):
    for check in (check_number, check_share):
        with pytest.raises(ValueError, match=rf"^x={re.escape(repr(bad))} must be a finite number$"):
            check("x", bad)


@pytest.mark.parametrize("bad", [-0.1, 1, 1.5])
def test_a_share_is_less_than_the_whole(bad):
    with pytest.raises(ValueError, match=rf"^x={bad!r} must be at least 0 and less than 1$"):
        check_share("x", bad)


@pytest.mark.parametrize("bad", ["c", "", None, 1, []])
def test_what_is_no_choice_is_answered_with_the_choices(bad):
    check_choice("name", "b", ("a", "b"))
    check_choice("name", True, (True, False))
    for choices in (("a", "b"), (True, False)):
        with pytest.raises(ValueError, match=rf"^name={re.escape(repr(bad))} must be one of "):
            check_choice("name", bad, choices)


@pytest.mark.parametrize("bad", [None, 3, "abc", (), (1, 1), (1, 1, 1, 1), (1, 0, 1), (1, 1, 1.0), (True, 1, 1)])
def test_what_is_no_tuple_of_whole_numbers_is_named(bad):
    check_whole_numbers("sizes", [1, 2, 3], 3)
    check_whole_numbers("sizes", ())
    with pytest.raises(ValueError, match=r"^sizes(\[\d\])?="):
        check_whole_numbers("sizes", bad, 3)
