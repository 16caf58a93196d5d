"""Strategies, clusters of workers, collectives between workers and reductions over replicas."""
