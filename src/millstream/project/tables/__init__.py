"""Read and trust: tables brought to their newest version, checked, quarantined, profiled, and their alarms."""
