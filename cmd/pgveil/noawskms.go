//go:build !awskms

package main

import (
	"errors"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/seal"
)

func awsWrapper(*config.CloudKey) (seal.Wrapper, error) {
	return nil, errors.New("sealing.wrapped_by.aws: AWS KMS: this pgveil was built without it: build it with -tags awskms")
}
