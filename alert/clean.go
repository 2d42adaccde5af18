package alert

import (
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"
	"unicode"
)

// What an alert may take up at most: who raises an event takes names from
// clients.
const (
	messageMost = 500 // bytes
	whoMost     = 200
	detailMost  = 200
	keyMost     = 40
	detailsMost = 32 // of them
)

// clean makes every text of an event short and of one line, and every detail a
// number, a truth or such a text.
func (e *Event) clean() {
	e.Name = text(e.Name, keyMost)
	e.Message = text(e.Message, messageMost)
	for _, s := range []*string{&e.Login, &e.User, &e.Addr, &e.Session, &e.App} {
		*s = text(*s, whoMost)
	}
	raised := e.Details[:min(len(e.Details), detailsMost)]
	e.Details = make([]slog.Attr, len(raised))
	for i, d := range raised {
		e.Details[i] = slog.Attr{Key: text(d.Key, keyMost), Value: value(d.Value)}
	}
}

// value is what may be told of a detail. What has structure may hold anything,
// and is left out; it is not asked what it stands for.
func value(v slog.Value) slog.Value {
	switch v.Kind() {
	case slog.KindInt64, slog.KindUint64, slog.KindBool:
		return v
	case slog.KindFloat64:
		if f := v.Float64(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return v
		}
		return slog.StringValue(fmt.Sprint(v.Float64())) // no JSON has it
	case slog.KindString:
		return slog.StringValue(text(v.String(), detailMost))
	case slog.KindDuration:
		return slog.StringValue(v.Duration().String())
	case slog.KindTime:
		return slog.StringValue(v.Time().UTC().Format(time.RFC3339))
	case slog.KindAny:
		if names, ok := v.Any().([]string); ok {
			return slog.StringValue(text(strings.Join(names, ", "), detailMost))
		}
	}
	return slog.StringValue("(left out)")
}

// text is one line of visible characters, with at most so many bytes. What
// changes the order of what is read, as a client's name may, is not visible.
func text(s string, most int) string {
	long := len(s) > most
	if long {
		s = strings.ToValidUTF8(s[:most], "")
	}
	s = strings.Map(func(c rune) rune {
		if c == unicode.ReplacementChar || !unicode.IsGraphic(c) || unicode.Is(unicode.Zs, c) && c != ' ' {
			return '?'
		}
		return c
	}, s)
	if long {
		return s + "..."
	}
	return s
}
