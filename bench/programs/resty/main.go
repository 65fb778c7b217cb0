// Resty places an order with resty.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/youproxy-go/youproxy/bench/clients/resty"
)

func main() {
	fmt.Println(resty.New(os.Args[1], os.Args[2], nil).Order(context.Background()))
}
