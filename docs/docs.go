// Package docs holds what of the documentation pgveil serves itself.
package docs

import _ "embed"

// OpenAPI describes the HTTP interface.
//
//go:embed openapi.json
var OpenAPI []byte
