// Oapi places an order with the client that oapi-codegen generates.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/youproxy-go/youproxy/bench/clients/oapi"
)

func main() {
	c, err := oapi.New(os.Args[1], os.Args[2], http.DefaultClient)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Order(context.Background()))
}
