// Empty does nothing: it is what every Go program weighs.
package main

func main() {}
