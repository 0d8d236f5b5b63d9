"""What operators see: probes, metrics, status and a page, on a listener of their own."""
