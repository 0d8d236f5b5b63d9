"""Which of several credentials is tried first, and which next."""

from proxy.tokens.credentials import Credential
from proxy.tokens.rotation import Rotation

A, B, C = (Credential(name, secret=name) for name in "ABC")


def ids(credentials):
    """Return their names as one text."""
    return "".join(credential.id for credential in credentials)


def test_a_single_one_is_tried_once():
    """There is no other, and the same again would be refused again."""
    rotation = Rotation()
    rotation.refused(rotation.candidates((A,))[0])
    assert ids(rotation.candidates((A,))) == "A"


def test_the_first_is_tried_first_and_the_next_after_it():
    """Two in one fetch, never more: Okta keeps up to 50 keys."""
    assert ids(Rotation().candidates((A, B, C))) == "AB"


def test_what_worked_is_remembered():
    """The refused one is not asked for again and again."""
    rotation = Rotation()
    rotation.candidates((A, B))
    rotation.refused(A)
    rotation.worked(B)
    assert ids(rotation.candidates((A, B))) == "BA"
    rotation.refused(B)
    rotation.worked(A)
    assert ids(rotation.candidates((A, B))) == "AB"


def test_each_gets_its_turn():
    """When two of three were refused, the third is next."""
    rotation = Rotation()
    tried = []
    for _ in range(3):
        for credential in rotation.candidates((A, B, C)):
            tried.append(credential.id)
            rotation.refused(credential)
    assert "".join(tried) == "ABCABC"


def test_new_credentials_begin_with_the_first():
    """A new secret above the old one is used at once, although the old one still works."""
    rotation = Rotation()
    rotation.candidates((A,))
    rotation.worked(A)
    assert ids(rotation.candidates((B, A))) == "BA"
    assert ids(rotation.candidates((A,))) == "A"
