"""The corpus: some 2,000 payloads, most of them from the known families of request smuggling, a file a family."""

import corpus_chunks
import corpus_connections
import corpus_framing
import corpus_lines
import corpus_targets
from payloads import Payload, by_name

FAMILIES: dict[str, dict[str, Payload]] = {
    "framing": by_name(corpus_framing.payloads()),
    "chunks": by_name(corpus_chunks.payloads()),
    "lines": by_name(corpus_lines.payloads()),
    "targets": by_name(corpus_targets.payloads()),
    "connections": by_name(corpus_connections.payloads()),
}
