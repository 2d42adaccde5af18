// Package honey makes planted records: rows of a kind of data subject that are
// about nobody, look like the others, and that nobody has a reason to touch.
//
// In go a subject of the policy and a connection; out come rows. A column with a
// default has that. What a column is, its name and its class say: names, e-mail
// addresses, telephone numbers, dates of birth and addresses are made up, of
// ranges that are nobody's. Open columns and foreign keys are copied from a row
// that is there, so that a planted record is of a country, a region, a state that
// exist. What else is personal is NULL or, where it must not be, a value of
// another row with every letter and digit replaced by another.
//
// No value of a person is ever copied into a planted record, but those of open
// columns.
package honey
