// Package alert tells people that something needs looking at: a limit that was
// reached, a planted record that was touched, logins that fail in series.
//
// What notices something raises an Event, on a Raiser: a Logger, or a Centre,
// which sends to everywhere that the configuration says. Raise takes under a
// microsecond or so, waits for nobody and has no error: what cannot be sent is
// counted, told to the log, and told to whom it was for as soon as they can be
// reached again.
//
// Events of one name about the same people are one alert: the first is sent at
// once, those that follow are summed up at the end of a window. So nobody who
// can make events can make as many alerts.
//
// An Event holds no value of a row, no literal of a statement and no secret: it
// goes to places that are less guarded than the access log. The package cannot
// tell a name from a value. What it can do is done in clean: details are numbers,
// times and short texts of one line.
//
// Every name is in Kinds, with what it means. To add one, add a line there and a
// row in docs/alerts.md; a test finds events that are raised and not in it.
package alert
