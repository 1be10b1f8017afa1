// Package text prepares words of others, as of a configuration, for messages.
package text

// Short returns s, or its beginning and end if it is long: a hostile path must not fill the terminal and the log.
func Short(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return s[:most/2] + " ... " + s[len(s)-most/4:]
}
