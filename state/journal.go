package state

import _ "embed"

//go:embed journal.sql
var journalSchema string
