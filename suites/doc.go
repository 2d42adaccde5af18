// Suites is being written.
package main
