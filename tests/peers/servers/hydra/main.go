// Ory Hydra as it comes. A module of its own, because `go install` takes no module that replaces others, as Hydra's does.
package main

import "github.com/ory/hydra/v2/cmd"

func main() {
	cmd.Execute()
}
