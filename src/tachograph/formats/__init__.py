"""A closed record to bytes: flat JSON, nested JSON, CloudWatch's embedded metrics, lines to read.

`TelemetryConfig(metrics_format=...)` makes the usual one. These are for `metrics.Destination`,
which sends records to a further place. A format knows no files.
"""

from tachograph.formats.cloudwatch import Directive, EmfConfig
from tachograph.formats.emf import Emf
from tachograph.formats.json import FlatJson
from tachograph.formats.nested import NestedJson
from tachograph.formats.pretty import Pretty

__all__ = ["Directive", "Emf", "EmfConfig", "FlatJson", "NestedJson", "Pretty"]
