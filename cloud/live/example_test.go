package live_test

import (
	"context"
	"fmt"
	"time"

	"github.com/shedguard/shedguard/cloud/live"
)

func ExampleFeed() {
	feed := live.New(100, time.Unix(0, 0))
	reader := feed.Subscribe(0) // from now on
	feed.Publish(live.Change{Kind: live.KindShed, Shed: "north-1", Data: "online"})

	c, err := reader.Next(context.Background(), nil)
	fmt.Println(c.ID, c.Kind, c.Shed, c.Data, err)

	feed.Publish(live.Change{Kind: live.KindShed, Shed: "north-1", Data: "offline"})
	late := feed.Subscribe(c.ID) // was away, saw c last
	c, err = late.Next(context.Background(), nil)
	fmt.Println(c.ID, c.Kind, c.Shed, c.Data, err)
	// Output:
	// 1 shed north-1 online <nil>
	// 2 shed north-1 offline <nil>
}
