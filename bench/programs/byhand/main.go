// Byhand places an order with net/http and encoding/json.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/youproxy-go/youproxy/bench/clients/byhand"
)

func main() {
	fmt.Println(byhand.New(os.Args[1], os.Args[2], http.DefaultClient).Order(context.Background()))
}
