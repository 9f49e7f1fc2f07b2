"""Every scenario by its letter: the one place that lists them."""

from loadtest.outcome import Scenario
from loadtest.scenarios.all_lanes import all_lanes
from loadtest.scenarios.growth import growth
from loadtest.scenarios.sign_ins import sign_ins
from loadtest.scenarios.slow_carriers import slow_carriers
from loadtest.scenarios.small_alerts import small_alerts
from loadtest.scenarios.urgent import urgent
from loadtest.scenarios.watchers import watchers

_MOST_RECIPIENTS = "most recipients (to 1,000,000: 5 to 10 minutes on two cores; to 100,000: one)"

SCENARIOS = {
    s.name: s
    for s in (
        Scenario("a", "all three lanes at once, API answering", 600, "members", all_lanes),
        Scenario("b", "urgent alerts to 300 in the middle of a newsletter", 120, "members of the newsletter", urgent),
        Scenario("c", "50 small alerts a second", 60, "members", small_alerts),
        Scenario("d", "1,000 watchers while the lanes are busy", 60, "watchers", watchers),
        Scenario("e", "carriers that are slow, that throttle, that die", 20, "members a carrier", slow_carriers),
        Scenario("g", "all lanes, and fifty sign-ins a second that are no good", 60, "members", sign_ins),
        Scenario("f", "growth: time and memory by the number of recipients", 0, _MOST_RECIPIENTS, growth),
    )
}
