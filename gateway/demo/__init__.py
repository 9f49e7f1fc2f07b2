"""The demonstration: a gateway, people who do not exist, peers that speak the real protocols, one alert, its report.

A client of the same doors as everybody else: settings, `tocsin load`, the HTTP API.
"""

from gateway.demo.story import run_demo

__all__ = ["run_demo"]
