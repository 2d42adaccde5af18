// Package detect finds, in how people and programs behave, what those do who
// take data that is not theirs: they try what is refused, read errors as
// answers, guess, count keys up, read more than ever, come at night or from
// everywhere at once.
//
// In go statements and logins as they end (Statement, Met, Login); out come
// findings, each an alert that explains itself, with the response that the
// policy has for it. It does no I/O, has no clock but the times that it is
// given, and keeps people in a table of fixed size: whoever was seen least
// lately is forgotten first, so made-up names push out each other before they
// push out who is at work.
//
// Some signals compare somebody with their own history: what they used, how much
// they read a day, at which hours. Histories come and go as Habits, which
// whoever uses this package keeps: Changes gives what is to be written, Unread
// whose history is wanted, Learn takes it. Without a history there is no finding
// of these signals; a lost one is learnt again.
//
// How many subjects somebody read is estimated (sketch.go), to a few percent and
// whatever their number, so that proxies can add up what they saw without
// counting anybody twice.
//
// What it does not see: who stays below every threshold; who reads as many
// subjects as ever, but others; what is done with what is read.
package detect
