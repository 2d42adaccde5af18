package state

import _ "embed"

//go:embed retention.sql
var retentionSchema string
