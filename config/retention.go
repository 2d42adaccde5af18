package config

import "time"

// Retention says when rows whose time is over are removed, and how fast.
type Retention struct {
	At    string        `yaml:"at"`    // time of the day, in UTC, as 03:00; absent: 03:00
	Every time.Duration `yaml:"every"` // from then on; absent: 24h
	Batch int           `yaml:"batch"` // rows of one transaction; absent: 5000
	Pause time.Duration `yaml:"pause"` // between two; absent: 100ms
}

// maxRetentionBatch is more rows than a transaction should have locked at a time.
const maxRetentionBatch = 100_000

// Schedule gives the retention with what is absent; ok is false where none is
// scheduled.
func (c *Config) Schedule() (r Retention, ok bool) {
	r = Retention{At: "03:00", Every: 24 * time.Hour, Batch: 5000, Pause: 100 * time.Millisecond}
	s := c.Retention
	if s == nil {
		return r, false
	}
	if s.At != "" {
		r.At = s.At
	}
	if s.Every != 0 {
		r.Every = s.Every
	}
	if s.Batch != 0 {
		r.Batch = s.Batch
	}
	if s.Pause != 0 {
		r.Pause = s.Pause
	}
	return r, true
}

// Slot gives the last moment not after now at which a run is due.
func (r Retention) Slot(now time.Time) time.Time {
	at, err := time.Parse("15:04", r.At)
	if err != nil {
		return time.Time{} // it was validated
	}
	first := time.Date(2000, 1, 1, at.Hour(), at.Minute(), 0, 0, time.UTC)
	return first.Add(now.Sub(first) / r.Every * r.Every)
}

func (c *Config) validateRetention(bad func(key, format string, args ...any)) {
	r, _ := c.Schedule()
	if _, err := time.Parse("15:04", r.At); err != nil {
		bad("retention_schedule.at", "%q is not a time of the day, as 03:00", r.At)
	}
	if r.Every < time.Minute {
		bad("retention_schedule.every", "%s is not a minute or more", r.Every)
	}
	if r.Batch < 1 || r.Batch > maxRetentionBatch {
		bad("retention_schedule.batch", "%d is not a number from 1 to %d", r.Batch, maxRetentionBatch)
	}
	if r.Pause < 0 || r.Pause > time.Minute {
		bad("retention_schedule.pause", "%s is not a time from 0 to a minute", r.Pause)
	}
}
