"""Argo CD vocabulary as frozen data; field names are the CRD's; unknown fields survive a round trip."""
