"""How fast the gateway is beside its peers, in the same run: `make bench`, or `python -m loadtest.bench --only sms`.

Figures of a shared machine swing; the ratios of one run hold. Nothing is asserted: a benchmark is read, a test is
passed. One module a row; `rows` lists them.
"""
