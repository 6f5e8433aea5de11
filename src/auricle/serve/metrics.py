"""What is counted, for Prometheus: requests, their time, what waits and what died. No label is about a person."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """Counters of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("auricle_requests", "Requests answered.", ["route", "status"], registry=self.registry)
        self._seconds = Histogram(
            "auricle_request_seconds", "Time to answer.", ["route"], registry=self.registry,
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
        )  # fmt: skip
        self._waiting = Gauge("auricle_waiting", "Recordings read or waiting.", registry=self.registry)
        self._died = Gauge("auricle_processes_ended", "Reading processes that ended.", registry=self.registry)
        self._jobs = Gauge("auricle_job_recordings", "Recordings of jobs.", ["state"], registry=self.registry)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            route: as it is written in the application.
            status: of HTTP.
            seconds: it took.
        """
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self, waiting: int, died: int, jobs: dict[str, int]) -> bytes:
        """All of it in the format of Prometheus.

        Args:
            waiting: recordings that are read or wait for it.
            died: reading processes that ended.
            jobs: recordings of jobs by their state.
        """
        self._waiting.set(waiting)
        self._died.set(died)
        for state, count in jobs.items():
            self._jobs.labels(state).set(count)
        return generate_latest(self.registry)
