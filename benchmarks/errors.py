"""The ways in which there is no number."""


class UnusableError(Exception):
    """This machine cannot run the benchmarks; the text says what is missing and how to get it."""


class MeasurementError(Exception):
    """A measurement that would not be honest: something was not forwarded, failed or got lost."""


class OutOfTimeError(Exception):
    """The whole run took longer than it may."""
