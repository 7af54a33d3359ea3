package scene

import "math"

// noiseSize is the edge of the tile of noise, a power of two.
const noiseSize = 256

// noise is a tile of fractal value noise from 0 to 1 that repeats without a
// seam.
type noise [noiseSize * noiseSize]float32

// newNoise returns a tile of five octaves, stretched to the full range.
func newNoise(seed uint64) *noise {
	var n noise
	amplitude := float32(1)
	for cells := 8; cells <= 128; cells *= 2 {
		grid := make([]float32, cells*cells)
		for i := range grid {
			grid[i] = float32(hash(seed, uint64(cells), uint64(i)))
		}
		step := noiseSize / cells
		for y := range noiseSize {
			gy, fy := y/step, smooth(float32(y%step)/float32(step))
			for x := range noiseSize {
				gx, fx := x/step, smooth(float32(x%step)/float32(step))
				at := func(i, j int) float32 { return grid[(gy+j)%cells*cells+(gx+i)%cells] }
				top := at(0, 0) + (at(1, 0)-at(0, 0))*fx
				low := at(0, 1) + (at(1, 1)-at(0, 1))*fx
				n[y*noiseSize+x] += amplitude * (top + (low-top)*fy)
			}
		}
		amplitude /= 2
	}
	least, most := n[0], n[0]
	for _, v := range n {
		least, most = min(least, v), max(most, v)
	}
	for i := range n {
		n[i] = (n[i] - least) / (most - least)
	}
	return &n
}

// newSpecks returns a tile of sensor noise: each pixel for itself, and somewhat of what
// a video codec leaves, eight pixels wide and high.
func newSpecks(seed uint64) *noise {
	const pixel, block = 0.05, 0.006
	var n noise
	for i := range n {
		x, y := uint64(i%noiseSize), uint64(i/noiseSize)
		n[i] = pixel*float32(hash(seed, 6, x, y)-0.5) + block*float32(hash(seed, 7, x/8, y/8)-0.5)
	}
	return &n
}

// at samples the tile; one unit is the whole tile.
func (n *noise) at(x, y float32) float32 {
	x, y = x*noiseSize, y*noiseSize
	fx, fy := float32(math.Floor(float64(x))), float32(math.Floor(float64(y)))
	ix, iy := int(fx)&(noiseSize-1), int(fy)&(noiseSize-1)
	jx, jy := (ix+1)&(noiseSize-1), (iy+1)&(noiseSize-1)
	x, y = x-fx, y-fy
	top := n[iy*noiseSize+ix] + (n[iy*noiseSize+jx]-n[iy*noiseSize+ix])*x
	low := n[jy*noiseSize+ix] + (n[jy*noiseSize+jx]-n[jy*noiseSize+ix])*x
	return top + (low-top)*y
}

// hash is a number from 0 to 1 that looks random: splitmix64.
func hash(words ...uint64) float64 {
	var h uint64
	for _, w := range words {
		h += w + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return float64(h>>11) / (1 << 53)
}

func smooth(x float32) float32 {
	x = clamp(x)
	return x * x * (3 - 2*x)
}

func clamp(x float32) float32 { return min(max(x, 0), 1) }
