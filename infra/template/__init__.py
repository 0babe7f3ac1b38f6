"""What ``serverless.yml`` becomes on AWS: compiled by osls, checked before anybody deploys it.

``compiler`` runs osls offline and without credentials, ``stage`` reads what differs by stage, ``connections`` holds the
workers' sum against the pooler's limit, ``readiness`` finds what a deployment would lack. ``make template`` is the
command.
"""
