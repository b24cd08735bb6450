"""Real hosts, real address translators and a small internet, made of network namespaces."""
