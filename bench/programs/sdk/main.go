// Sdk places an order with the SDK.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/youproxy-go/youproxy/bench/clients/sdk"
)

func main() {
	c, err := sdk.New(os.Args[1], os.Args[2], nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Order(context.Background()))
}
