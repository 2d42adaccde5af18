package ship

import (
	"log/slog"
	"time"
)

// tellEvery is how often one sink's trouble is logged.
const tellEvery = time.Minute

// trouble tells of errors without flooding the log: the first, then how many
// there were, and that it is over.
type trouble struct {
	since, told time.Time
	count       int
	cursorTold  time.Time
}

func (t *trouble) tried(log *slog.Logger, err error) {
	now := time.Now()
	if t.count++; t.count == 1 {
		t.since = now
	}
	if now.Sub(t.told) < tellEvery {
		return
	}
	t.told = now
	log.Warn("records of the access log were not taken; they are sent again", "tries", t.count, "err", err)
}

func (t *trouble) over(log *slog.Logger) {
	if t.count > 0 {
		log.Info("records of the access log are taken again", "tries", t.count, "after", time.Since(t.since).Round(time.Second))
	}
	t.count = 0
}

func (t *trouble) cursor(log *slog.Logger, err error) {
	if now := time.Now(); now.Sub(t.cursorTold) >= tellEvery {
		t.cursorTold = now
		log.Warn("how far a sink has come could not be written down; after a restart more is sent again", "err", err)
	}
}
