package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/audit/ship"
)

// shipMetrics tells how each sink stands, when somebody asks.
type shipMetrics struct {
	ship                                                         *ship.Shipper
	sent, errors, deadLetters, lagRecords, lag, success, stopped *prometheus.Desc
}

func newShipMetrics(s *ship.Shipper) shipMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("pgveil_ship_"+name, help, []string{"sink"}, nil)
	}
	return shipMetrics{
		ship:        s,
		sent:        desc("events_total", "Events that the sink has taken."),
		errors:      desc("errors_total", "Tries to send that failed, and cursors that could not be written."),
		deadLetters: desc("dead_letters_total", "Events that the sink refused for good."),
		lagRecords:  desc("lag_records", "Records in the access log that the sink does not have."),
		lag:         desc("lag_seconds", "Age of the record that is being sent."),
		success:     desc("last_success_timestamp_seconds", "When the sink last took events; 0: not yet."),
		stopped:     desc("stopped", "Whether nothing is shipped any more until a restart."),
	}
}

func (m shipMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.sent, m.errors, m.deadLetters, m.lagRecords, m.lag, m.success, m.stopped} {
		ch <- d
	}
}

func (m shipMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, s := range m.ship.Stats() {
		give := func(d *prometheus.Desc, kind prometheus.ValueType, value float64) {
			ch <- prometheus.MustNewConstMetric(d, kind, value, s.Sink)
		}
		give(m.sent, prometheus.CounterValue, float64(s.Sent))
		give(m.errors, prometheus.CounterValue, float64(s.Errors))
		give(m.deadLetters, prometheus.CounterValue, float64(s.DeadLetters))
		give(m.lagRecords, prometheus.GaugeValue, float64(s.LagRecords))
		give(m.lag, prometheus.GaugeValue, s.Lag.Seconds())
		var success, stopped float64
		if !s.LastSuccess.IsZero() {
			success = float64(s.LastSuccess.UnixMilli()) / 1000
		}
		if s.Stopped != nil {
			stopped = 1
		}
		give(m.success, prometheus.GaugeValue, success)
		give(m.stopped, prometheus.GaugeValue, stopped)
	}
}
