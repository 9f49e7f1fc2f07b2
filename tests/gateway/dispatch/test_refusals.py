"""Whose fault a refusal is, told by the shape of what a carrier refuses."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.dispatch.refusals import (
    ALIKE,
    FIRST_PAUSE_S,
    FIRST_TRIAL,
    FORGOTTEN_AFTER_S,
    IN_A_ROW_S,
    LONGEST_PAUSE_S,
    MIXED,
    MOST_ON_TRIAL,
    SILENCE_S,
    RefusalMeaning,
    Refusals,
)

NL, FR = (1, "nl"), (1, "fr")


def refused(refusals: Refusals, *people: int, subject=NL, code: str = "0x0B", at_s: float = 0.0):
    """The run, and whether the last of them barred the subject."""
    barred = False
    for person in people:
        run, barred = refusals.refused(subject, person, code, "no", at_s)
    return run, barred


# ---- whose it is -------------------------------------------------------------------------------------------------


def test_a_refusal_that_an_acceptance_follows_is_the_persons():
    refusals = Refusals()
    run, _ = refused(refusals, 7)

    refusals.accepted(NL)

    assert run.word(0.0, 0.1) is RefusalMeaning.THE_PERSONS


def test_a_refusal_that_nothing_follows_is_the_persons_after_a_silence():
    run, _ = refused(Refusals(), 7)

    assert run.word(0.0, SILENCE_S - 0.1) is RefusalMeaning.OPEN
    assert run.word(0.0, SILENCE_S) is RefusalMeaning.THE_PERSONS


def test_so_many_alike_of_different_people_are_the_carriers():
    run, barred = refused(Refusals(), *range(ALIKE))

    assert barred
    assert run.word(0.0, 0.1) is RefusalMeaning.OURS


def test_the_same_person_again_is_no_row():
    _, barred = refused(Refusals(), *[7] * 20)

    assert not barred


def test_an_acceptance_between_begins_the_row_anew():
    refusals = Refusals()
    for person in range(100):
        _, barred = refused(refusals, person)
        assert not barred
        if person % 2:
            refusals.accepted(NL)


def test_after_many_acceptances_a_row_bars_as_well():
    refusals = Refusals()
    for _ in range(500):
        refusals.accepted(NL)

    assert refused(refusals, *range(ALIKE))[1]


def test_codes_that_differ_bar_too_though_later():
    refusals = Refusals()
    barred = [refusals.refused(NL, person, f"code {person}", "", 0.0)[1] for person in range(MIXED)]

    assert barred == [False] * (MIXED - 1) + [True]


def test_a_row_may_go_through_subjects():
    """A campaign in three languages, one reader each."""
    refusals = Refusals()
    first, _ = refused(refusals, 1, subject=NL)
    refused(refusals, 2, subject=FR)
    last, barred = refused(refusals, 3, subject=(1, "de"))

    assert barred
    assert first.word(0.0, 0.1) is last.word(0.0, 0.1) is RefusalMeaning.OURS


def test_refusals_of_different_days_are_no_row():
    refusals = Refusals()
    for day in range(20):
        assert not refused(refusals, day, subject=(day, "nl"), at_s=day * (IN_A_ROW_S + 1))[1]


def test_an_acceptance_of_another_text_says_nothing_of_this_one():
    refusals = Refusals()
    for person in range(ALIKE):
        _, barred = refused(refusals, person)
        refusals.accepted(FR)

    assert barred


def test_who_is_refused_again_after_others_were_accepted_is_refused_for_good():
    """However many of them are left at the end, with nobody to be accepted among them."""
    refusals = Refusals()
    refused(refusals, *range(20))
    refusals.accepted(NL)

    for person in range(20):
        run, barred = refused(refusals, person, at_s=5.0)
        assert not barred
        assert run.word(5.0, 5.0) is RefusalMeaning.THE_PERSONS


# ---- rest and trial ----------------------------------------------------------------------------------------------


def test_rest_and_trial_grow_until_something_is_accepted():
    refusals = Refusals()
    run, _ = refused(refusals, *range(ALIKE))
    pauses, trials = [run.pause_s], [run.trial]
    for n in range(10):
        refused(refusals, 100 + n, at_s=run.barred_until_s)
        pauses.append(run.pause_s)
        trials.append(run.trial)

    assert pauses[:4] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S, 8 * FIRST_PAUSE_S]
    assert trials[:4] == [FIRST_TRIAL, 2 * FIRST_TRIAL, 4 * FIRST_TRIAL, 8 * FIRST_TRIAL]
    assert (max(pauses), max(trials)) == (LONGEST_PAUSE_S, MOST_ON_TRIAL)
    refusals.accepted(NL)
    assert refusals.complaint(0.0) is None


def test_what_was_under_way_when_the_rest_began_prolongs_nothing():
    refusals = Refusals()
    run, _ = refused(refusals, *range(ALIKE))
    until_s = run.barred_until_s
    _, barred = refused(refusals, *range(10, 60), at_s=until_s - 0.1)

    assert not barred
    assert run.barred_until_s == until_s


def test_who_is_known_to_be_refused_uses_up_no_trial():
    """Or nobody would be tried any more, although a hundred others wait."""
    refusals = Refusals()
    refused(refusals, *range(ALIKE))
    refusals.accepted(NL)
    run, _ = refused(refusals, *range(10, 10 + ALIKE))
    after_s = run.barred_until_s

    run.try_units(FIRST_TRIAL, after_s)
    for person in range(FIRST_TRIAL):
        refusals.refused(NL, person, "0x0B", "no", after_s, units=1)

    assert run.units_to_try(after_s) == FIRST_TRIAL


def test_a_trial_whose_answers_stay_away_is_followed_by_another():
    run, _ = refused(Refusals(), *range(ALIKE))
    left_s = run.barred_until_s

    assert run.units_to_try(left_s - 0.1) == 0
    run.try_units(FIRST_TRIAL, left_s)

    assert run.units_to_try(left_s + LONGEST_PAUSE_S - 0.1) == 0
    assert run.units_to_try(left_s + LONGEST_PAUSE_S) == FIRST_TRIAL


def test_a_carrier_that_is_well_again_for_one_text_is_tried_with_the_others_at_once():
    refusals = Refusals()
    refused(refusals, *range(ALIKE), subject=NL)
    other, _ = refused(refusals, *range(10, 10 + ALIKE), subject=FR, at_s=100.0)

    refusals.accepted(NL)

    assert other.is_barred
    assert other.barred_until_s <= 100.0
    assert other.trial >= FIRST_TRIAL


def test_what_nobody_has_tried_for_long_is_forgotten():
    refusals = Refusals()
    refused(refusals, *range(ALIKE))

    assert refusals.complaint(FORGOTTEN_AFTER_S / 2) is not None
    assert refusals.complaint(FORGOTTEN_AFTER_S + 1) is None


# ---- whatever happens ----------------------------------------------------------------------------------------------

happenings = st.lists(
    st.one_of(
        st.tuples(st.just("refused"), st.integers(0, 30), st.sampled_from(["a", "b"]), st.sampled_from([NL, FR])),
        st.tuples(st.just("accepted"), st.just(0), st.just(""), st.sampled_from([NL, FR])),
    ),
    max_size=60,
)


@given(happenings)
def test_nobody_is_failed_while_everybody_is_refused_and_nobody_is_spared_among_the_accepted(events):
    refusals = Refusals()
    open_words = []
    for n, (what, person, code, subject) in enumerate(events):
        at_s = n * 0.001
        if what == "refused":
            run, _ = refusals.refused(subject, person, code, "", at_s)
            open_words.append((subject, run, n, person))
        else:
            refusals.accepted(subject)
        for its_subject, run, since, who in open_words:
            accepted_since = any(e[0] == "accepted" and e[3] == its_subject for e in events[since + 1 : n + 1])
            word = run.word(since * 0.001, at_s)
            if accepted_since:
                assert word is RefusalMeaning.THE_PERSONS
            elif not _refused_and_others_accepted_before(events[:since], its_subject, who):
                assert word is not RefusalMeaning.THE_PERSONS


def _refused_and_others_accepted_before(events, subject, person):
    own = [n for n, e in enumerate(events) if e[0] == "refused" and e[1] == person and e[3] == subject]
    return any(e[0] == "accepted" and e[3] == subject for e in events[min(own, default=len(events)) :])


@given(st.lists(st.tuples(st.integers(0, 2_000), st.text(max_size=3), st.integers(0, 400))))
def test_memory_is_bounded(refusals_of):
    refusals = Refusals()
    for person, code, campaign in refusals_of:
        refusals.refused((campaign, "nl"), person, code, "", 0.0)

    assert len(refusals.runs) <= 256
    assert all(len(run.people) <= 1_000 for run in refusals.runs.values())
